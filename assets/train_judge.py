"""Trains a second network for digits: `python assets/train_judge.py`.

It judges pictures made for the first one, `mnist_cnn.keras`: what only that network
takes for a digit, this one should not. So it differs in all that is free to choose:
strided and depthwise convolutions of 5x5, batch normalization, no pooling before the
last average, another activation, other initial weights. Data, distortions and the
held-out digits are those of `train_mnist.py`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from train_mnist import BATCH_SIZE, FOLDER, distort, read_digits, write

SEED = 1
EPOCHS = 60


def build() -> keras.Model:
    """Builds the untrained network: a softmax over ten classes."""
    layers = keras.layers
    x = inputs = keras.Input((28, 28, 1), name="digit")
    for number, (filters, strides) in enumerate(((24, 1), (48, 2), (96, 2)), start=1):
        if number > 1:
            x = layers.DepthwiseConv2D(
                5, strides, padding="same", use_bias=False, name=f"depthwise{number}"
            )(x)
        x = layers.Conv2D(
            filters,
            5 if number == 1 else 1,
            padding="same",
            use_bias=False,
            name=f"conv{number}",
        )(x)
        x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.Activation("gelu", name=f"gelu{number}")(x)
    x = layers.Conv2D(56, 3, padding="valid", activation="gelu", name="conv4")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Dense(10, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, outputs, name="mnist_judge")


def train(images: np.ndarray, labels: np.ndarray) -> keras.Model:
    """Trains the network from scratch.

    Args:
        images: (n, 28, 28, 1), float32 in [0, 1].
        labels: (n,), 0 to 9.
    """
    network = build()
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
            keras.optimizers.schedules.CosineDecay(3e-3, steps * EPOCHS),
            weight_decay=1e-3,
        ),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.05),
    )
    network.fit(batches, steps_per_epoch=steps, epochs=EPOCHS, shuffle=False, verbose=2)
    return network


def main() -> None:
    """Trains, measures and writes."""
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    digits = read_digits()
    network = train(*digits["train"])
    images, labels = digits["held_out"]
    predicted = network.predict(images, verbose=0).argmax(axis=1)
    print(f"{network.count_params():,} parameters, accuracy on {len(labels)} held-out")
    print(f"digits: {np.mean(predicted == labels):.1%}")
    untrained = build()  # never compiled, so no optimizer is written
    untrained.set_weights(network.get_weights())
    write(untrained, FOLDER / "mnist_judge.keras")


if __name__ == "__main__":
    main()
