"""A reproducible, experiment-tracked study of variational autoencoders on CIFAR-10."""


class UserError(Exception):
    """What a person can mend: the message says what, where and what to do; shown without a traceback."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
