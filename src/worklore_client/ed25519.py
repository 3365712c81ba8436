"""Checking an Ed25519 signature (RFC 8032, section 5.1.7) with integers alone: the standard library has no such thing.

It takes some milliseconds and nothing in it is secret, so it need not take the same time for every input.
"""

import hashlib

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
_LENGTH = 32

_Point = tuple[int, int, int, int]
"""X, Y, Z and T with x = X/Z, y = Y/Z and T = XY/Z."""

_NEUTRAL: _Point = (0, 1, 1, 0)


def valid(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """True when the holder of the key's secret half has signed the message."""
    if len(public_key) != _LENGTH or len(signature) != 2 * _LENGTH:
        return False
    key, nonce = _point(public_key), _point(signature[:_LENGTH])
    scalar = int.from_bytes(signature[_LENGTH:], "little")
    if key is None or nonce is None or scalar >= _ORDER:
        return False
    challenge = hashlib.sha512(signature[:_LENGTH] + public_key + message).digest()
    told = int.from_bytes(challenge, "little") % _ORDER
    return _equal(_times(scalar, _base()), _sum(nonce, _times(told, key)))


def _base() -> _Point:
    encoded = (4 * pow(5, -1, _P) % _P).to_bytes(_LENGTH, "little")
    point = _point(encoded)
    if point is None:
        raise ArithmeticError("the base point is on the curve")
    return point


def _point(encoded: bytes) -> _Point | None:
    """The point of the curve that 32 bytes stand for: y, and in the highest bit whether x is odd."""
    number = int.from_bytes(encoded, "little")
    odd, y = number >> 255, number & ((1 << 255) - 1)
    if y >= _P:
        return None
    # x^2 = (y^2 - 1) / (d y^2 + 1); as p = 5 mod 8, a power gives the root or one that differs by a root of -1.
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P or (x == 0 and odd):
        return None
    if x & 1 != odd:
        x = _P - x
    return x, y, 1, x * y % _P


def _sum(one: _Point, two: _Point) -> _Point:
    """RFC 8032, section 5.1.4; it holds for equal points too."""
    a = (one[1] - one[0]) * (two[1] - two[0]) % _P
    b = (one[1] + one[0]) * (two[1] + two[0]) % _P
    c = 2 * one[3] * two[3] * _D % _P
    d = 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(number: int, point: _Point) -> _Point:
    total = _NEUTRAL
    while number:
        if number & 1:
            total = _sum(total, point)
        point = _sum(point, point)
        number >>= 1
    return total


def _equal(one: _Point, two: _Point) -> bool:
    return (one[0] * two[2] - two[0] * one[2]) % _P == 0 and (one[1] * two[2] - two[1] * one[2]) % _P == 0
