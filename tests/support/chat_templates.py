"""Chat templates in the manner of real ones, written out short, and tokenizers to go with them."""

from __future__ import annotations

from string import ascii_letters, punctuation
from typing import Any

CHATML = """\
{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
QWEN_3 = """\
{%- set ns = namespace(last=0) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}
    {%- set content, thought = m.content, '' %}
    {%- if m.role == 'assistant' and '</think>' in content %}
        {%- set thought = content.split('</think>')[0].split('<think>')[-1] %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '<|im_start|>' + m.role + '\\n' }}
    {%- if m.role == 'assistant' and loop.index0 > ns.last %}
        {{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' }}
    {%- endif %}
    {{- content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""
R1 = """\
{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}\
<|User|>{{ m.content }}{% else %}<|Assistant|>{{ m.content.split('</think>')[-1] }}{{ eos_token }}{% endif %}\
{% endfor %}{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"""
LLAMA_31 = """\
{{ bos_token }}{% if date_string is not defined %}{% set date_string = '26 Jul 2024' %}{% endif %}\
{% if messages[0].role == 'system' %}{% set system = messages[0].content | trim %}{% set messages = messages[1:] %}\
{% else %}{% set system = '' %}{% endif %}<start>system<end>Today Date: {{ date_string }}\n\n{{ system }}<|im_end|>\
{% for m in messages %}<start>{{ m.role }}<end>{{ m.content | trim }}<|im_end|>{% endfor %}\
{% if add_generation_prompt %}<start>assistant<end>{% endif %}"""
LLAMA_32 = LLAMA_31.replace("= '26 Jul 2024'", "= strftime_now('%d %b %Y')")
GEMMA = """\
{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/...') }}{% endif %}<start_of_turn>\
{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>
{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"""
MISTRAL = """\
{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]\
{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}\
{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"""
OWN_SYSTEM = "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are Smol.<|im_end|>\n{% endif %}" + CHATML
RENAMED = CHATML.replace("<|im_start|>assistant\n", "<|im_start|>helper\n")


def fast(backend: Any, **settings: Any) -> Any:
    """Return a transformers tokenizer about one of the ``tokenizers`` library."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=backend, **settings)


def sentencepiece_like(model: str) -> Any:
    """Return a tokenizer that writes blanks as ▁ and puts one before a text: ``bpe`` with bytes, or ``unigram``.

    The unigram one has "</s>" among its pieces, so that special tokens come out of text with them off, too.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    special, letters = ["<unk>", "<s>", "</s>"], ["▁", *ascii_letters, *punctuation]
    if model == "bpe":
        vocabulary = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
        ids = {token: number for number, token in enumerate(vocabulary)}
        backend = Tokenizer(models.BPE(vocab=ids, merges=[], unk_token="<unk>", byte_fallback=True))
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        pieces = [*((token, 0.0) for token in special), *((letter, -3.0) for letter in letters), ("\n", -3.0)]
        backend = Tokenizer(models.Unigram(pieces, unk_id=0))
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    blank = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(blank)
    return fast(backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=MISTRAL)


def bert_like() -> Any:
    """Return a tokenizer that lowers case, drops accents and does not know emoji."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    letters = [*ascii_letters, *punctuation, *"0123456789"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters)]
    backend = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "bos_token": "[CLS]", "eos_token": "[SEP]"}
    return fast(backend, **special, chat_template=CHATML.replace("<|im_end|>", "[SEP]"))
