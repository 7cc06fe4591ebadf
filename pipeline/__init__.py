"""A reproducible, experiment-tracked study of variational autoencoders on CIFAR-10."""


class StudyError(Exception):
    """What a person can mend: the message says what, where and what to do; shown without a traceback."""
