"""The tables of NDS: what was trained, what came of it, and every epoch on the way.

Accuracies are in percent, losses are cross entropy, times in seconds, parameters and FLOPs in millions. A loss that was
not a number is NULL.
"""

from __future__ import annotations

import peewee

from graphnas.benchmarks.database import BenchmarkDatabase, JSONField

DATABASE = BenchmarkDatabase("nds", "data.zip of NDS (link at github.com/facebookresearch/nds)")


class NdsTrialConfig(peewee.Model):
    """What was trained.

    Attributes:
        model_family: `nas_cell`, `residual_bottleneck`, `residual_basic` or `vanilla`.
        model_spec: The sizes of the network: `num_nodes_normal`, `num_nodes_reduce`, `depth`, `width`, `aux` and
            `drop_prob` of a `nas_cell`, else by stage the depths `ds`, widths `ws` and strides `ss`, and of a
            `residual_bottleneck` the width multipliers `bot_muls` and groups `num_gs`.
        cell_spec: The cells of a `nas_cell`: `normal_0_op_x`, `normal_0_input_x`, `normal_0_op_y`, `normal_0_input_y`,
            …, `normal_concat`, and the same of `reduce`; of others, nothing.
        dataset: `cifar10` or `imagenet`.
        generator: `random`, `fix_w_d` or `tune_lr_wd`.
        proposer: Whose design space it was drawn from.
        base_lr: The learning rate at the beginning.
        weight_decay: The weight decay.
        num_epochs: Length of the training.
        cell_key: What `cell_spec` means, as text: the same where nodes only name their inputs the other way round.
    """

    id = peewee.AutoField()
    model_family = peewee.CharField(max_length=20)
    model_spec = JSONField(index=True)
    cell_spec = JSONField(null=True)
    dataset = peewee.CharField(max_length=15)
    generator = peewee.CharField(max_length=15)
    proposer = peewee.CharField(max_length=15)
    base_lr = peewee.FloatField()
    weight_decay = peewee.FloatField()
    num_epochs = peewee.IntegerField()
    cell_key = peewee.TextField(index=True)

    class Meta:
        """The database of NDS."""

        database = DATABASE


class NdsTrialStats(peewee.Model):
    """What came of one training.

    Attributes:
        config: What was trained.
        seed: The seed of the training.
        final_train_acc: Accuracy on the training images after the last epoch.
        final_train_loss: Loss on the training images after the last epoch.
        final_test_acc: Accuracy on the test images after the last epoch.
        best_train_acc: The best accuracy on the training images after any epoch.
        best_train_loss: The least loss on the training images after any epoch.
        best_test_acc: The best accuracy on the test images after any epoch.
        parameters: Number of parameters, in millions.
        flops: Multiply-accumulates of one image, in millions.
        iter_time: Seconds of one iteration of the training.
    """

    id = peewee.AutoField()
    config = peewee.ForeignKeyField(NdsTrialConfig, backref="trial_stats", index=True)
    seed = peewee.IntegerField()
    final_train_acc = peewee.FloatField()
    final_train_loss = peewee.FloatField(null=True)
    final_test_acc = peewee.FloatField()
    best_train_acc = peewee.FloatField()
    best_train_loss = peewee.FloatField(null=True)
    best_test_acc = peewee.FloatField()
    parameters = peewee.FloatField()
    flops = peewee.FloatField()
    iter_time = peewee.FloatField()

    class Meta:
        """The database of NDS."""

        database = DATABASE


class NdsIntermediateStats(peewee.Model):
    """How a training stood after one of its epochs.

    Attributes:
        trial: The training.
        current_epoch: Number of epochs done, from 1.
        train_loss: Loss on the training images.
        train_acc: Accuracy on the training images.
        test_acc: Accuracy on the test images.
    """

    id = peewee.AutoField()
    trial = peewee.ForeignKeyField(NdsTrialStats, backref="intermediates", index=False)
    current_epoch = peewee.IntegerField()
    train_loss = peewee.FloatField(null=True)
    train_acc = peewee.FloatField()
    test_acc = peewee.FloatField()

    class Meta:
        """The database of NDS."""

        database = DATABASE
        indexes = ((("trial", "current_epoch"), True),)
