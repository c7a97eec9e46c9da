"""Sessions and transitions of a plant that fits the cart-pole task, as a client sends them; no JAX needed."""

from protos.hds import v1

NAMES = ("cart [m]", "pole [rad]", "cart velocity [m/s]", "pole velocity [rad/s]")
TASK = "cartpole_swingup"
PLANT = v1.PlantSpec(name="test", state_names=NAMES, action_names=("push [100 N]",), control_dt_s=0.04)


def session(name: str = "s1", plant: v1.PlantSpec = PLANT, task: str = TASK) -> v1.Session:
    return v1.Session(id=name, task=task, plant=plant)


def transition(sequence: int, purpose: v1.Purpose = v1.PURPOSE_COLLECT) -> v1.Transition:
    angle = 3.1 + 0.01 * sequence
    return v1.Transition(
        sequence=sequence,
        episode=sequence // 150,
        purpose=purpose,
        x=[0.0, angle, 0.0, 0.25],
        u_requested=[0.1],
        u_applied=[0.1],
        x_next=[0.0, angle + 0.01, 0.0, 0.25],
        t_ns=sequence * 40_000_000,
        policy_version="v1",
        action_source=v1.ACTION_SOURCE_POLICY,
    )
