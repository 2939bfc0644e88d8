"""Every kind of value, in Python. `../wit/kinds.wit` says what the functions do."""

import binascii
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import api


def _signed(number, bits=64):
    """The number modulo 2^bits with a sign: Python's integers have no width of their own."""
    half = 1 << (bits - 1)
    return (number + half) % (1 << bits) - half


class Api(exports.Api):
    def echo_bool(self, value):
        return value

    def echo_char(self, value):
        return value

    def echo_string(self, value):
        return value

    def echo_integers(self, value):
        return value

    def echo_s64(self, value):
        return value

    def echo_u64(self, value):
        return value

    def echo_floats(self, value):
        return value

    def echo_bytes(self, value):
        return value

    def echo_numbers(self, value):
        return value

    def echo_blobs(self, value):
        return value

    def echo_person(self, value):
        return value

    def echo_shape(self, value):
        return value

    def echo_color(self, value):
        return value

    def echo_permissions(self, value):
        return value

    def echo_nested(self, value):
        return value

    def echo_outcomes(self, value):
        return value

    def nothing(self):
        return None

    def sum(self, numbers):
        return _signed(sum(numbers))

    def sum_decimal(self, numbers):
        total = 0
        for text in numbers:
            # `int` alone takes spaces, underscores and the digits of all scripts.
            if not re.fullmatch("-?[0-9]{1,19}", text) or _signed(int(text)) != int(text):
                raise Err(text)
            total += int(text)
        return str(_signed(total))

    def sum_halves(self, numbers):
        total = _signed(sum((it.high << 32) + it.low for it in numbers))
        return api.Halves(high=total >> 32, low=total & 0xFFFFFFFF)

    def mean(self, numbers):
        if not numbers:
            return None
        total = 0.0
        # The built-in `sum` does not round each addition: since 3.12 it compensates.
        for number in numbers:
            total += number
        return total / len(numbers)

    def scale(self, numbers, factor):
        # The product of two f32 is exact in f64; what rounds it is its way out.
        return [number * factor for number in numbers]

    def reverse(self, text):
        return text[::-1]

    def crc32(self, bytes):
        return binascii.crc32(bytes)

    def sort(self, texts):
        # By code point, which is the order of UTF-8.
        return sorted(texts)

    def count_words(self, text):
        counts = {}
        # `split` without a pattern knows more white space than the world does.
        for word in re.findall("[^\t-\r ]+", text):
            counts[word] = counts.get(word, 0) + 1
        return sorted(counts.items())

    def describe(self, shape):
        match shape:
            case api.Shape_Dot():
                return "dot"
            case api.Shape_Circle(radius):
                return f"circle of radius {radius}"
            case api.Shape_Rectangle((width, height)):
                return f"rectangle of {width} by {height}"
            case api.Shape_Polygon(points):
                return f"polygon of {len(points)} points"
            case api.Shape_Label(text):
                return f"label with {text}"

    def unite(self, left, right):
        return left | right

    def divide(self, dividend, divisor):
        if divisor == 0:
            raise Err(api.DivisionError.BY_ZERO)
        # `//` rounds down.
        quotient = abs(dividend) // abs(divisor)
        if (dividend < 0) != (divisor < 0):
            quotient = -quotient
        if _signed(quotient, 32) != quotient:
            raise Err(api.DivisionError.OVERFLOW)
        return quotient

    def find(self, people, name):
        return next((person for person in people if person.name == name), None)
