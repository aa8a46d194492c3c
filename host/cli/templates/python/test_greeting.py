import unittest

from greeting import greeting


class GreetingTest(unittest.TestCase):
    def test_a_greeting_has_the_name(self) -> None:
        self.assertEqual(greeting("Ada"), "hello, Ada")


if __name__ == "__main__":
    unittest.main()
