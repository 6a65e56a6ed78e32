"""The tables of NAS-Bench-101: what was trained, what came of it, and how it stood half way.

Accuracies are in percent, times in seconds, parameters in millions; everything was trained on CIFAR-10. What a source
does not tell is NULL.
"""

from __future__ import annotations

import peewee

from graphnas.benchmarks.database import BenchmarkDatabase, JSONField

DATABASE = BenchmarkDatabase(
    "nasbench101",
    "nasbench_full.tfrecord or nasbench_only108.tfrecord (links at github.com/google-research/nasbench),"
    " or a CSV table of it (docs/benchmarks.md)",
)


class Nb101TrialConfig(peewee.Model):
    """What was trained.

    Attributes:
        arch: Operations `op1`, … of the vertices between input and output, and `input1`, …, the list of vertices that
            each takes, up to the output. Vertices that lead nowhere are left out.
        num_vertices: Number of vertices, input and output included.
        hash: The graph hash.
        num_epochs: Length of the training.
    """

    id = peewee.AutoField()
    arch = JSONField()
    num_vertices = peewee.IntegerField()
    hash = peewee.CharField(max_length=64, index=True)
    num_epochs = peewee.IntegerField()

    class Meta:
        """The database of NAS-Bench-101."""

        database = DATABASE


class Nb101TrialStats(peewee.Model):
    """What came of one training; where only a mean is published, of the mean.

    Attributes:
        config: What was trained.
        train_acc: Accuracy on the training images after the last epoch.
        valid_acc: Accuracy on the 10,000 validation images.
        test_acc: Accuracy on the test images.
        parameters: Number of parameters, in millions.
        training_time: Seconds of the whole training.
    """

    id = peewee.AutoField()
    config = peewee.ForeignKeyField(Nb101TrialConfig, backref="trial_stats", index=True)
    train_acc = peewee.FloatField(null=True)
    valid_acc = peewee.FloatField(null=True)
    test_acc = peewee.FloatField(null=True)
    parameters = peewee.FloatField(null=True)
    training_time = peewee.FloatField(null=True)

    class Meta:
        """The database of NAS-Bench-101."""

        database = DATABASE


class Nb101IntermediateStats(peewee.Model):
    """How a training stood, half way and at its end.

    Attributes:
        trial: The training.
        current_epoch: Number of epochs done.
        train_acc: Accuracy on the training images.
        valid_acc: Accuracy on the validation images.
        test_acc: Accuracy on the test images.
        training_time: Seconds since the training began.
    """

    id = peewee.AutoField()
    trial = peewee.ForeignKeyField(Nb101TrialStats, backref="intermediates", index=False)
    current_epoch = peewee.IntegerField()
    train_acc = peewee.FloatField(null=True)
    valid_acc = peewee.FloatField(null=True)
    test_acc = peewee.FloatField(null=True)
    training_time = peewee.FloatField(null=True)

    class Meta:
        """The database of NAS-Bench-101."""

        database = DATABASE
        indexes = ((("trial", "current_epoch"), True),)
