"""Built-in chat templates, for models whose own template is missing or unusable."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

RAW_COMPLETION = "none"
"""Value of `chat_template` that sends the message text without a chat template."""
CHATML = "chatml"
"""The template that most chat models support."""

_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_NO_SYSTEM = "{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
_GEMMA = (
    "{% for m in messages %}" + _NO_SYSTEM + "{{ '<start_of_turn>' + "
    "('model' if m.role == 'assistant' else 'user') + '\\n' + m.content + '<end_of_turn>\\n' }}"
    "{% endfor %}{{ '<start_of_turn>model\\n' }}"
)
_LLAMA3 = (
    "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + "
    "m.content + '<|eot_id|>' }}{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
)
_MISTRAL = (
    "{% for m in messages %}" + _NO_SYSTEM + "{% if m.role == 'assistant' %}"
    "{{ ' ' + m.content + eos_token }}{% else %}{{ '[INST] ' + m.content + ' [/INST]' }}{% endif %}"
    "{% endfor %}"
)

BUILT_IN_TEMPLATES: Mapping[str, str] = MappingProxyType(
    {CHATML: _CHATML, "gemma": _GEMMA, "llama3": _LLAMA3, "mistral": _MISTRAL}
)
"""Jinja sources, keyed by the name of the model family."""
OWN_TEMPLATE = "own"
"""Value of `chat_template` that selects the model's own template, overriding the session's."""
TEMPLATE_CHOICES = (*BUILT_IN_TEMPLATES, RAW_COMPLETION)
"""The values of `chat_template` that replace the model's own template."""
CHAT_TEMPLATES = (OWN_TEMPLATE, *TEMPLATE_CHOICES)
"""Every value of `chat_template`."""

_TURN_MARKERS = {
    CHATML: "<|im_start|>",
    "gemma": "<start_of_turn>",
    "llama3": "<|start_header_id|>",
    "mistral": "[INST]",
}


def find_template(vocabulary: Collection[str]) -> str:
    """Return the name of the built-in template whose turn marker is in the vocabulary, or ''."""
    return next((name for name, mark in _TURN_MARKERS.items() if mark in vocabulary), "")
