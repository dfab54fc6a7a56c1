"""Neural style transfer as a pipeline of plugins, configured by YAML recipes.

Every public name is listed in `__init__.pyi` and imported at first use. `nstflow.toolkit` has more
for authors of stages.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
