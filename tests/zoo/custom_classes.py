"""Custom objects that some files of the zoo need, for any Keras from 2.3 to 3."""


def define(k):
    """Layers, models and functions by name.

    Args:
        k: The Keras namespace whose classes they extend.
    """
    register = getattr(k, "saving", k.utils).register_keras_serializable

    class Scale(k.layers.Layer):
        """x * factor + shift, not registered."""

        def __init__(self, factor=1.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def build(self, input_shape):
            self.shift = self.add_weight(
                name="shift", shape=(int(input_shape[-1]),), initializer="zeros"
            )
            self.built = True

        def call(self, inputs):
            return inputs * self.factor + self.shift

        def get_config(self):
            return dict(super().get_config(), factor=self.factor)

    @register(package="zoo")
    class RegisteredScale(Scale):
        """The same, registered."""

    class ConvBlock(k.layers.Layer):
        """A composite layer: two convolutions and a pooling."""

        def __init__(self, filters=4, **kwargs):
            super().__init__(**kwargs)
            self.filters = filters
            self.first = k.layers.Conv2D(filters, 3, padding="same", name="first")
            self.norm = k.layers.BatchNormalization(name="norm")
            self.second = k.layers.Conv2D(filters, 3, activation="relu", name="second")
            self.pool = k.layers.MaxPooling2D(name="pool")

        def call(self, inputs, training=None):
            x = self.norm(self.first(inputs), training=training)
            return self.pool(self.second(x))

        def get_config(self):
            return dict(super().get_config(), filters=self.filters)

    class SmallNet(k.Model):
        """A subclassed model: a composite layer, a list of convolutions, a head."""

        def __init__(self, classes=3, **kwargs):
            super().__init__(**kwargs)
            self.classes = classes
            self.block = ConvBlock(4, name="block")
            self.convs = [
                k.layers.Conv2D(3, 3, padding="same", activation="relu", name="conv_a"),
                k.layers.Conv2D(5, 1, activation="relu", name="conv_b"),
            ]
            self.gap = k.layers.GlobalAveragePooling2D(name="gap")
            self.head = k.layers.Dense(classes, activation="softmax", name="head")

        def call(self, inputs, training=None):
            x = self.block(inputs, training=training)
            for conv in self.convs:
                x = conv(x)
            return self.head(self.gap(x))

        def get_config(self):
            return {"name": self.name, "classes": self.classes}

        @classmethod
        def from_config(cls, config, **_):
            return cls(config["classes"], name=config["name"])

    @register(package="zoo")
    class RegisteredNet(SmallNet):
        """The same, registered."""

    class FixedDropout(k.layers.Dropout):
        """The class that the `efficientnet` package saves in its files."""

    class Momentum(k.optimizers.SGD):
        """An optimizer class that nobody else knows."""

    def shouted_loss(y_true, y_pred):
        return k.losses.categorical_crossentropy(y_true, 2.0 * y_pred)

    def half_accuracy(y_true, y_pred):
        return 0.5 * k.metrics.categorical_accuracy(y_true, y_pred)

    def halve(x):
        return 0.5 * x

    def soft_clip(x):
        return x / (1.0 + abs(x))

    found = dict(locals())
    return {name: found[name] for name in found if name not in ("k", "register")}
