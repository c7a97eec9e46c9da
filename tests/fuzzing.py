"""Arbitrary messages of any type, for hypothesis."""

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

F = FieldDescriptor
_NUMBERS = {
    F.TYPE_DOUBLE: st.floats(),
    F.TYPE_FLOAT: st.floats(width=32),
    F.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    F.TYPE_UINT64: st.integers(0, 2**64 - 1),
    F.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    F.TYPE_UINT32: st.integers(0, 2**32 - 1),
    F.TYPE_BOOL: st.booleans(),
    F.TYPE_STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    F.TYPE_BYTES: st.binary(max_size=12),
    F.TYPE_ENUM: st.integers(0, 9),
}


def messages(descriptor: Descriptor, known: dict[str, Any] | None = None) -> st.SearchStrategy[Message]:
    """Return messages of a type; fields named in `known` mostly have one of its values."""
    known = known or {}
    kind = GetMessageClass(descriptor)
    fields = {}
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        one = (
            messages(field.message_type, known)
            if field.message_type is not None
            else st.one_of(st.sampled_from(known[field.name]), _NUMBERS[field.type])
            if field.name in known
            else _NUMBERS[field.type]
        )
        fields[field.name] = st.lists(one, max_size=5) if field.is_repeated else one
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: _made(kind, given))


def _made(kind: type[Message], given: dict[str, Any]) -> Message:
    message = kind()
    for name, value in given.items():
        field = kind.DESCRIPTOR.fields_by_name[name]
        if field.message_type is not None:
            target = getattr(message, name)
            for one in value if field.is_repeated else [value]:
                (target.add() if field.is_repeated else target).CopyFrom(one)
        elif field.is_repeated:
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
    return message
