"""Plans that compute in float16, and the padding of the models in their tests."""

from dataclasses import replace

from app.inference.providers.plan import Plan
from app.model.parts import Padding

RIGHT = Padding(0, 0, "right")
PACKED = Plan("cpu", "it was asked for", "float16", packed=True)
FUSED = replace(PACKED, packed=False)
