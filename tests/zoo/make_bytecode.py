"""Functions as the Python that runs this marshals them, into ../data/bytecode.json.

for version in 3.8 3.9 3.10 3.11 3.12 3.13; do python$version make_bytecode.py; done
"""

import base64
import io
import json
import marshal
import os
import sys
import types

PATH = os.path.join(os.path.dirname(__file__), "..", "data", "bytecode.json")
SOURCE = """
def double(x):
    return x * 2

def absolute(x):
    return abs(x)

def attribute(x):
    return x.real

def conjugate(x):
    return x.conjugate() + 1

def compared(x):
    return x if x > 2 else -x

def plus(x):
    return +x

def looped(x):
    while x < 100:
        x = x * 2
    return x

def waited(x):
    y = x
    while y is not None:
        y = None
    return x

def summed(x):
    return sum(n * x for n in (1, 2, 3))

def listed(x):
    return [n * x for n in (1, 2, 3)][-1]

def guarded(x):
    try:
        return x / 0
    except ZeroDivisionError:
        return x

def spread(x):
    return max(*(x, 1), 2)

def unpacked(x):
    first, second = (*(x,), 2)
    return first

def both(x):
    return x and x + 1

def inner(x):
    return (lambda y: (lambda z: z.real)(y))(x)

def enclosing(x):
    class Body:
        value = x
    return Body.value

def make(factor):
    def scaled(x):
        return factor * x
    return scaled

scaled = make(2)
"""


def main():
    """Adds what this Python makes of the functions."""
    functions = {}
    exec(compile(SOURCE, "functions.py", "exec"), functions)  # noqa: S102
    made = {
        name: base64.b64encode(marshal.dumps(value.__code__)).decode("ascii")
        for name, value in sorted(functions.items())
        if isinstance(value, types.FunctionType) and name != "make"
    }
    found = {"made": {}}
    if os.path.exists(PATH):
        with io.open(PATH, encoding="utf-8") as file:
            found = json.load(file)
    found["made"]["{}.{}".format(*sys.version_info)] = made
    found["of 3"] = {name: functions[name](3) for name in made}
    with io.open(PATH, "w", encoding="utf-8", newline="\n") as file:
        json.dump(found, file, indent=1, sort_keys=True)
        file.write("\n")


if __name__ == "__main__":
    main()
