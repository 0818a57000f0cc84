"""The defaults that depend on other settings: one row each, with its reason. --n is the dial.

A row is filled in where the setting is None, in this order: later rows may use earlier ones.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from distill.runs.settings.defaults.values import (
    batch,
    dc_networks,
    ema_decay,
    engine,
    inner_loss,
    inner_lr,
    inner_steps,
    label_lr_scale,
    labels,
    lr_end,
    lr_lr_scale,
    lr_per,
    lr_profile,
    max_age,
    max_horizon,
    network,
    outer_batch,
    outer_loss,
    outer_lr,
    outer_rule,
    outer_steps,
    pool_augment,
    pool_lr,
    rule,
    start,
    start_scale,
    synthetic_length,
    test_networks,
    validate_every,
    vectors,
    warmup,
    weight_init,
)
from distill.runs.settings.situation import Situation

METHOD = "method"  # the part of the rows that are options of a method


class Default(NamedTuple):
    """A setting's part and name, its value in a situation, the value in words for help, and the reason."""

    part: str
    name: str
    value: Callable[[Situation], Any]
    words: str
    reason: str


DEFAULTS = (
    Default(
        "network", "network", network, "textcnn; with --encoder linear",
        "the probe of an embedding is linear",
    ),
    Default(
        METHOD, "inner_loss", inner_loss,
        "squared-error for a random convnet, unless --labels says otherwise; of the set of --start; else"
        " soft-cross-entropy",
        "bounded for labels of any sign: with signed cross-entropy an MLP fell from 69 to 8 % in 100 steps",
    ),
    Default(
        "data", "labels", labels,
        "soft; dc and dm: hard; softmax with --fixed-items there, for rat-bptt, mtt, and random"
        " pretrained networks, those of an --encoder, texts by adam, and convnets by cross-entropy",
        "shares leave a cross-entropy bounded; they are learned more slowly than labels of a regression",
    ),
    Default(
        "inner", "rule", rule,
        "sgd where fixed, momentum where random or pretrained and for rat-bptt, adam for random networks of"
        " an --encoder; frepo and rcig: momentum for convnet and resnet, else adam",
        "plain steps give the cleanest gradient; random networks have a longer way to go; embeddings learned"
        " through momentum teach nobody who trains by Adam, as most do; momentum diverges on the large labels"
        " of frepo where nothing normalises",
    ),
    Default(
        "inner", "batch", batch, "all where fixed, else at most 20; frepo, rcig, rat-bptt, mtt: at most 100",
        "beyond 20 items a step costs more and teaches a random network no more",
    ),
    Default(
        "inner", "inner_steps", inner_steps,
        "fixed: 12 up to n = 5, else 8, of two minutes 6; random: n, at least 20; random convnet: 12 up"
        " to n = 20, else 50; text: 10 where fixed, 20 where random, by adam 50, 4 where pretrained; frepo"
        " and rcig: 300 for text, else 100; rat-bptt, mtt, and random images for"
        " dc and dm: 300; rat-bptt by adam: 200",
        "fixed: more steps cost more than they gain; random: a short unroll never reaches plain training",
    ),
    Default(
        METHOD, "outer_loss", outer_loss,
        "best-temperature for random text by adam with --encoder, else cross-entropy",
        "probes of two reviews had 76.1 for 75.1, and after 2,000 steps more 76.9 for 74.6",
    ),
    Default(
        METHOD, "start_scale", start_scale, "8 for fixed lenet and mlp of two minutes, else by the loss",
        "labels that are learned grow to a sum of ten: a minute's run had 53 % after 25 steps for 31",
    ),
    Default(
        METHOD, "max_horizon", max_horizon, "three times T for a random convnet and bounded labels, else T",
        "a set that was learned for exactly T steps is worth less after more of them",
    ),
    Default(
        METHOD, "pool_augment", pool_augment, "rat-bptt, dc, dm: affine for mnist, as in dc, else none",
        "where people change the images that they train on, a set does best that was learned so",
    ),
    Default(
        METHOD, "pool_lr", pool_lr,
        "0.01, for dc of 21 to 200 items 0.05, with more than ten --pool-steps 0.5 / steps; for rat-bptt by"
        " adam 0.001; frepo and rcig: 0.002 with momentum, 0.001 with adam",
        "the rate at which most people train by that rule; ten steps of dc go as far as the paper's 50",
    ),
    Default(
        METHOD, "max_age", max_age,
        "dm: 1; dc: 1 up to 20 items, 10 up to 200, else 50; rat-bptt: 40; else 50",
        "the outer loop of the paper: of few items networks learn so little that new ones say more",
    ),
    Default(
        "network", "weight_init", weight_init,
        "xavier for images where random, else uniform; methods with a pool and mtt: own; frepo and rcig"
        " without norm: kaiming-hidden",
        "xavier's last layer answers ± 2 to texts before any training, and louder than a regression's labels",
    ),
    Default(
        "outer", "start", start,
        "means for a random convnet, random networks of an --encoder, methods with a pool, fixed images of"
        " two minutes; where random"
        " frepo for rat-bptt and rcig; noise for sre2l; else real",
        "k-means centres are worth eight points to a random ConvNet; kernel ridge, thirty in two minutes",
    ),
    Default(
        "measure", "validate_every",
        validate_every,
        "200; frepo: 400; other methods with a pool: 100; a pretrained transformer: 50",
        "a fifth of the time goes to choosing",
    ),
    Default(
        "measure", "validation_networks", lambda s: 2 if s.pretrained else 8 if s.text else 3,
        "3; for text 8, for a pretrained transformer 2",
        "random text networks differ much: three chose a lucky checkpoint",
    ),
    Default(
        "measure", "test_networks", test_networks, "20; for text 100, for a pretrained transformer 3",
        "random text networks differ much; a pretrained transformer takes a minute for 2,000 sentences",
    ),
    Default(
        "measure", "full_data_networks", lambda s: 0 if s.pretrained else 3, "3; pretrained 0",
        "the training on all data is for new networks: its rate is too high for pretrained ones",
    ),
    Default(
        "measure", "dc_networks", dc_networks, "random images: 3 up to n = 20, 1 up to n = 100; else 0",
        "1,000 epochs of 20 images take less than one network on all real data; of more items, more",
    ),
    Default(
        "inner", "lr_per", lr_per, "tensor where fixed or text, else step; step by adam",
        "rates per tensor are the largest single gain where fixed",
    ),
    Default(
        "inner", "lr_profile", lr_profile,
        "lenet for fixed images of at most two minutes by LeNet in 6 steps, else even",
        "rates learned by other networks, on other images, are worth three points after a minute",
    ),
    Default(
        "inner", "lr", inner_lr,
        "sgd: 0.1 / T, for text 0.2 / T, pretrained 0.05, for images of two minutes 0.18 / T; momentum:"
        " 0.01, for a random"
        " convnet 0.02; adam: 0.003, for random text 0.2 / T;"
        " frepo, rcig, and random with the squared error: 0.004 with momentum (frepo and rcig up to n = 20:"
        " 0.002), 0.001 with adam;"
        " rat-bptt, dc, dm: 0.01, rat-bptt by adam 0.001; mtt: 0.02",
        "0.1 over all steps with sgd; momentum and Adam need less",
    ),
    Default(
        METHOD, "lr_end", lr_end, "0.01 for random text by adam, else 1",
        "as the protocol adam trains, whose rate falls to zero",
    ),
    Default(
        "outer", "outer_steps", outer_steps,
        "8000 where fixed, 1500 where random; for text 3000 and 2000, by adam with --encoder 1000, pretrained"
        " 500",
        "where the held-out score stands still",
    ),
    Default(
        "outer", "outer_batch", outer_batch,
        "images: 128, but 256 where random without convnet, or more than 5 fixed for two minutes; text: 64"
        " where fixed, 128 where random, 2048 by adam with --encoder, 32 where pretrained; frepo and"
        " rcig: 256; rat-bptt: 128; dc and dm: 640; mtt, sre2l: 1, which they do not look at",
        "smaller batches are too noisy, larger ones cost more than they gain; embeddings cost little",
    ),
    Default(
        "outer", "outer_rule", outer_rule, "adam; ggt for fixed images of at most two minutes",
        "after 800 steps ten images had 91, 93 and 90 with adam, 96, 94 and 93 with ggt; after 8,000 they"
        " are alike",
    ),
    Default(
        "outer", "outer_lr", outer_lr,
        "0.05; 0.02 for random images; fixed ones of two minutes 0.04; random text by adam: 0.03, with"
        " --encoder 0.01; methods with a pool: 0.01, frepo and rcig without a norm 0.1; sre2l: 0.25; a"
        " pretrained transformer: 0.005, as its word vectors are small",
        "larger rates blew up on random networks; by dc frepo gave 92 % at 0.01, 88 % at 0.03",
    ),
    Default(
        "outer", "label_lr_scale", label_lr_scale,
        "4 where fixed, 0.5 where random; for text, methods with a pool and mtt 1, for text by adam 3; for a"
        " pretrained transformer 10",
        "labels of a fixed set grow from 1 to 30",
    ),
    Default(
        "outer", "lr_lr_scale", lr_lr_scale,
        "2; 0.5 for random images; 20 for a pretrained transformer; 0 for random text by adam",
        "as for the labels; rates that are learned are no longer those at which others train",
    ),
    Default(
        "outer", "ema_decay", ema_decay,
        "0.998 where fixed; 0.99 for random images and text by adam, 0.997 for other random text; pretrained"
        " 0.98; frepo, rcig: 0.99; rat-bptt, dc,"
        " dm, mtt: 0.98",
        "single iterates are noisy: their average scored 88 where the iterate scored 77",
    ),
    Default(
        "outer", "warmup", warmup,
        "200; text, methods with a pool, and fixed images of two minutes: 20; frepo: 50",
        "Adam's first steps are as long as its later ones, on a gradient of one batch",
    ),
    Default(
        "data", "synthetic_length", synthetic_length,
        "6 where fixed, 10 where random; 12 for a pretrained transformer",
        "more positions remember the training texts",
    ),
    Default(
        "data", "vectors", vectors,
        "bundled for the sentences, a pretrained transformer's own, else glove.6B.100d",
        "100 dimensions gain four points on TREC over 50",
    ),
    Default(
        "inner", "engine", engine,
        "unroll up to 30 steps, for text by adam 50, recompute for a pretrained transformer, where random of"
        " the longest horizon; truncated beyond; none for methods that do not unroll",
        "beyond 30 steps the whole graph is slow and its gradient wild; a window costs a tenth more than T",
    ),
)  # fmt: skip
COMPUTED = {default.name: default for default in DEFAULTS}
