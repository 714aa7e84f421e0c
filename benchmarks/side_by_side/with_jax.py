"""JAX: a function of one task, under vmap for all and grad for line 10."""

from functools import partial

import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)  # or float64 becomes float32


def mse(p, x, y):
    h = jax.nn.relu(x @ p["W1"] + p["b1"])
    h = jax.nn.relu(h @ p["W2"] + p["b2"])
    return jnp.mean((h @ p["W3"] + p["b3"] - y) ** 2)


@partial(jax.jit, static_argnames="steps")  # the loop over steps is unrolled
def meta_gradient(theta, batch, alpha, steps):
    def after_adaptation(theta, xs, ys, xq, yq):
        phi = theta
        for _ in range(steps):
            g = jax.grad(mse)(phi, xs, ys)  # differentiated by the outer grad
            phi = jax.tree.map(lambda p, d: p - alpha * d, phi, g)
        return mse(phi, xq, yq)

    def meta_loss(theta):  # in_axes: all tasks start from the same θ
        of_tasks = jax.vmap(after_adaptation, in_axes=(None, 0, 0, 0, 0))
        return of_tasks(theta, *batch[:4]).mean()

    return jax.grad(meta_loss)(theta)
