"""What a test file imports: `from gauntlet import OnnxTest, register`."""

from gauntlet.testclass import OnnxTest, register

__all__ = ["OnnxTest", "register"]
