"""The base class of tests written in Python, and the decorator that gives them names.

Imported by users' files: it loads nothing heavy and never changes what a hook does.
"""

_registered = {}  # name -> class, in the order of registration


class OnnxTest:
    """One test. Subclass it, override hooks, and put @register("name") in front.

    One object lives through all hooks of a test, so what a hook keeps in `self` the later ones
    find there. Before the constructor runs, the object has already got

        name        the name it was registered with
        folder      the test's own folder, where hooks may keep files
        model_path  <folder>/model.onnx
        seed        the run's seed
        rng         a numpy Generator, seeded anew before each hook from seed, name and hook

    so a subclass may leave out __init__ or write one without arguments. A hook must give the same
    result each time it is called with the same seed: a resumed run calls it again. `rng`, `random`
    and `numpy.random` are seeded to that end.
    """

    def construct_model(self):
        """Write `self.model_path`, or return an onnx.ModelProto."""
        raise NotImplementedError("construct_model is not defined by this test class")

    def construct_inputs(self):
        """Return a list of numpy arrays, one for each model input.

        None, the default, asks for the built-in seeded generator.
        """
        return None

    def forward(self, inputs):
        """Return the golden outputs as a list of numpy arrays.

        The default runs the model with ONNX Runtime on the CPU, on one thread.
        """
        from gauntlet import reference

        return reference.run(self.model_path, inputs)

    def apply_postprocessing(self, outputs):
        """Return what is to be compared: called once with the golden and once with the
        compiled program's outputs, each a list of numpy arrays. The default changes nothing."""
        return outputs


def register(name):
    """Class decorator: make the class a test called `name`. May be given several times."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ValueError(f"register() needs the name of the test as printable text, not {name!r}")

    def enter(cls):
        if not (isinstance(cls, type) and issubclass(cls, OnnxTest)):
            raise TypeError(f"@register({name!r}) belongs in front of a subclass of OnnxTest")
        if name in _registered:
            raise ValueError(f"two tests are registered as {name!r}")
        _registered[name] = cls
        return cls

    return enter


def registered():
    """Name -> class of everything registered in this process."""
    return dict(_registered)
