"""What a person does on the playground, for tests and screenshots."""

from tools.browser import Page

IDLE = "document.querySelector('.nearest li') && document.getElementById('progress').hidden"
VISIBLE = "document.querySelector('[role=tabpanel]:not([hidden])')"
# What shows that a view has drawn all that it asks for.
DRAWN = {
    "map": f"{VISIBLE}.querySelector('.nearest li')",
    "heat": f"{VISIBLE}.querySelector('.readout b')",
    "tokens": f"{VISIBLE}.querySelector('.token')",
    "weights": f"{VISIBLE}.querySelector('.terms li')",
    "maxsim": f"{VISIBLE}.querySelector('.pairs li')",
    "types": f"{VISIBLE}.querySelector('.columns li')",
}


def look_as(
    page: Page, width: int, height: int, *, theme: str = "light", language: str = "en"
) -> None:
    """Give the page a window, the system's theme, and a language; nothing on it moves."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    page.call("Emulation.setDeviceMetricsOverride", **size)
    features = {"prefers-color-scheme": theme, "prefers-reduced-motion": "reduce"}
    wanted = [{"name": name, "value": value} for name, value in features.items()]
    page.call("Emulation.setEmulatedMedia", features=wanted)
    agent = page.evaluate("navigator.userAgent")
    page.call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)


def wait_idle(page: Page) -> None:
    """Return when the first texts are embedded and shown."""
    page.wait_for(IDLE)


def search(page: Page, query: str) -> None:
    """Type a query with the keyboard, and return when the list is sorted by it."""
    page.evaluate("document.getElementById('query').select()")
    page.call("Input.insertText", text=query)
    page.wait_for(
        "document.querySelector('#list.is-found') && document.getElementById('timing').value.includes('ms')"
    )


def choose_view(page: Page, name: str, *, until: str = "") -> None:
    """Go to a view, and return when it is drawn."""
    page.evaluate(f"document.getElementById('tab-{name}').click()")
    page.wait_for(until or DRAWN[name])


def press(page: Page, key: str, *, modifiers: int = 0) -> None:
    """Press a key, and let go."""
    text = {"Enter": "\r"}.get(key, "")
    for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
        event = {"type": kind, "key": key, "code": key, "modifiers": modifiers}
        codes = {
            "Enter": 13,
            "Tab": 9,
            "ArrowLeft": 37,
            "ArrowUp": 38,
            "ArrowRight": 39,
            "ArrowDown": 40,
            "Home": 36,
            "End": 35,
        }
        page.call(
            "Input.dispatchKeyEvent",
            **event,
            text=text if kind == "keyDown" else "",
            windowsVirtualKeyCode=codes[key],
        )
