"""CLIP text: transformers' model of texts and images, as an encoder of texts alone."""

from types import SimpleNamespace
from typing import Any

import torch


class TextEncoder(torch.nn.Module):
    """An encoder that projects every token's state; the last token's is the text's vector.

    CLIP pools by the first end token, which is the last token unless a text spells it out.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._encode = model.text_model
        self._project = model.text_projection
        self.config = model.config

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        """Return states as `last_hidden_state`, (B, S, D), for inputs padded on the right."""
        # Padding may have the id of the end token.
        found = self._encode(input_ids=input_ids * attention_mask, attention_mask=attention_mask)
        states = self._project(found.last_hidden_state)
        pooled = self._project(found.pooler_output)
        after = torch.cumsum(attention_mask, dim=1) == attention_mask.sum(dim=1, keepdim=True)
        return SimpleNamespace(
            last_hidden_state=torch.where(after[:, :, None], pooled[:, None, :], states)
        )
