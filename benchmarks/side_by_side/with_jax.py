"""JAX: a function of one task, differentiated by grad, mapped over tasks by vmap, and compiled."""

from functools import partial

import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)  # without it JAX turns float64 into float32


def mse(p, x, y):
    h = jax.nn.relu(x @ p["W1"] + p["b1"])
    h = jax.nn.relu(h @ p["W2"] + p["b2"])
    return jnp.mean((h @ p["W3"] + p["b3"] - y) ** 2)


@partial(jax.jit, static_argnames="steps")  # the inner loop is unrolled, so its length must be known
def meta_gradient(theta, batch, alpha, steps):
    def after_adaptation(theta, x_support, y_support, x_query, y_query):
        phi = theta
        for _ in range(steps):
            g = jax.grad(mse)(phi, x_support, y_support)  # the outer grad differentiates through this one
            phi = jax.tree.map(lambda p, d: p - alpha * d, phi, g)
        return mse(phi, x_query, y_query)

    def meta_loss(theta):  # every task starts from the same θ, so θ has no axis to map over
        return jax.vmap(after_adaptation, in_axes=(None, 0, 0, 0, 0))(theta, *batch[:4]).mean()

    return jax.grad(meta_loss)(theta)
