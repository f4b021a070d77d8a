"""Trains the MNIST network of this folder: `python assets/train_mnist.py`.

Learns from 4,000 of the 5,000 digits in `mnist_5k.npz`, measures its accuracy on the
1,000 others after the last step, and writes the network as `mnist_cnn.keras` (Keras 3)
and, with the same weights, as `mnist_cnn.h5` (Keras 2). The held-out digits choose
nothing: neither when training stops nor which weights are kept.
"""

import os
import warnings
from pathlib import Path
from types import ModuleType

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import tf_keras

FOLDER = Path(__file__).resolve().parent
SEED = 0
EPOCHS = 100
BATCH_SIZE = 64

# The distortions of a training digit: standard deviations of normal distributions cut
# off at twice their value. Pixels are those of the 28x28 digit.
ROTATION = np.deg2rad(6.0)
LOG_SCALE = 0.06
SHEAR = 0.08
SHIFT = 0.8  # pixels
BEND = 0.8  # pixels, of a smooth displacement drawn on a BEND_GRID x BEND_GRID grid
BEND_GRID = 5


def read_digits() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Reads the digits and splits them: every fifth one is held out.

    Returns:
        `train` and `held_out`, each a pair of images (n, 28, 28, 1), float32 in [0, 1],
        and labels (n,). The file holds 500 digits of each class, class by class, so
        the held-out part has 100 of each.
    """
    with np.load(FOLDER / "mnist_5k.npz") as digits:
        images = digits["images"][..., None].astype(np.float32) / 255
        labels = digits["labels"].astype(np.int64)
    held_out = np.arange(len(labels)) % 5 == 4
    return {
        "train": (images[~held_out], labels[~held_out]),
        "held_out": (images[held_out], labels[held_out]),
    }


def build(framework: ModuleType) -> "keras.Model | tf_keras.Model":
    """Builds the untrained network: 113,514 parameters, a softmax over ten classes.

    Args:
        framework: `keras` or `tf_keras`.
    """
    layers = framework.layers
    x = inputs = framework.Input((28, 28, 1), name="digit")
    for number, filters in enumerate((24, 48, 64), start=1):
        x = layers.Conv2D(
            filters, 3, padding="same", activation="relu", name=f"conv{number}"
        )(x)
        x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="dense")(x)
    x = layers.Dropout(0.25, name="dropout")(x)
    outputs = layers.Dense(10, activation="softmax", name="predictions")(x)
    return framework.Model(inputs, outputs, name="mnist_cnn")


def distort(images: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Turns, scales, slants, moves and bends every digit in its own way.

    Args:
        images: (n, height, width, 1).
        step: Scalar integer; the same step distorts in the same way.

    Returns:
        The distorted images, (n, height, width, 1), sampled bilinearly.
    """
    n, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    seeds = tf.random.split(tf.stack([tf.constant(SEED, tf.int64), step]), 2)
    affine = tf.random.stateless_truncated_normal((6, n, 1, 1), seeds[0])
    angle, shear = affine[0] * ROTATION, affine[1] * SHEAR
    scale_y, scale_x = tf.exp(affine[2] * LOG_SCALE), tf.exp(affine[3] * LOG_SCALE)
    bend = tf.random.stateless_truncated_normal((n, BEND_GRID, BEND_GRID, 2), seeds[1])
    bend = tf.image.resize(bend, (height, width), method="bicubic") * BEND

    # Where each pixel of the result takes its value from: R(angle) S(scale) H(shear) p,
    # p counted from the middle of the digit.
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    y = tf.range(float(height))[:, None] - middle_y
    x = tf.range(float(width))[None, :] - middle_x
    slanted = (x + shear * y) * scale_x
    y = y * scale_y
    source_y = tf.cos(angle) * y - tf.sin(angle) * slanted + affine[4] * SHIFT
    source_x = tf.sin(angle) * y + tf.cos(angle) * slanted + affine[5] * SHIFT
    source_y = tf.clip_by_value(source_y + bend[..., 0] + middle_y, 0, height - 1.001)
    source_x = tf.clip_by_value(source_x + bend[..., 1] + middle_x, 0, width - 1.001)

    top, left = tf.floor(source_y), tf.floor(source_x)
    below, right = (source_y - top)[..., None], (source_x - left)[..., None]
    corner = tf.stack([top, left], axis=-1)

    def pixel(down: int, across: int) -> tf.Tensor:
        position = tf.cast(corner, tf.int32) + tf.constant([down, across])
        return tf.gather_nd(images, position, batch_dims=1)

    upper = pixel(0, 0) * (1 - right) + pixel(0, 1) * right
    lower = pixel(1, 0) * (1 - right) + pixel(1, 1) * right
    return upper * (1 - below) + lower * below


def train(images: np.ndarray, labels: np.ndarray) -> keras.Model:
    """Trains the network from scratch.

    Args:
        images: (n, 28, 28, 1), float32 in [0, 1].
        labels: (n,), 0 to 9.
    """
    network = build(keras)
    steps = len(images) // BATCH_SIZE
    batches = (
        tf.data.Dataset.from_tensor_slices((images, keras.utils.to_categorical(labels)))
        .shuffle(len(images), seed=SEED)
        .repeat()
        .batch(BATCH_SIZE, drop_remainder=True)
        .enumerate()
        .map(lambda step, batch: (distort(batch[0], step), batch[1]))
        .prefetch(4)
    )
    network.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(2e-3, steps * EPOCHS),
            weight_decay=1e-3,
            use_ema=True,
            ema_momentum=0.995,  # an average over about the last three epochs
        ),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.05),
    )
    network.fit(batches, steps_per_epoch=steps, epochs=EPOCHS, shuffle=False, verbose=2)
    return network


def write(network: "keras.Model | tf_keras.Model", path: Path) -> None:
    """Writes a network; the file appears whole or not at all."""
    partial = path.with_name(f".{os.getpid()}_{path.name}")
    try:
        with warnings.catch_warnings():
            # Both Keras advise against .h5 files, which are what old programs need.
            warnings.filterwarnings("ignore", "You are saving your model as an HDF5")
            network.save(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def main() -> None:
    """Trains, measures and writes."""
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    digits = read_digits()
    network = train(*digits["train"])
    images, labels = digits["held_out"]
    predicted = network.predict(images, verbose=0).argmax(axis=1)
    accuracy = np.mean(predicted == labels)
    print(f"accuracy on {len(labels)} held-out digits: {accuracy:.1%}")

    for framework, name in ((keras, "mnist_cnn.keras"), (tf_keras, "mnist_cnn.h5")):
        untrained = build(framework)  # never compiled, so no optimizer is written
        untrained.set_weights(network.get_weights())
        write(untrained, FOLDER / name)


if __name__ == "__main__":
    main()
