"""Explorers: pictures that compute in the page itself, in a book, JupyterLab or Colab alike, with no kernel.

The page restates this package's mathematics in plain JavaScript (`js/maths`), and for training in WebAssembly
(`kernel/kernel.c`), both of which the tests compare with torch. This folder may import all of `l2l` but the command
line and the widgets; nothing in `l2l` imports it. Begin with `_line10.py` and `js/line10/main.js`; `_page.py` turns
such a pair into one self-contained piece of HTML.
"""

from l2l.explorer._adapt import PRESETS, adapt
from l2l.explorer._assemble import assemble
from l2l.explorer._draw import draw
from l2l.explorer._learn import learn
from l2l.explorer._line10 import QUADRATICS, line10
from l2l.explorer._metatrain import metatrain
from l2l.explorer._page import Explorer
from l2l.explorer._step import step

__all__ = ["PRESETS", "QUADRATICS", "Explorer", "adapt", "assemble", "draw", "learn", "line10", "metatrain", "step"]
