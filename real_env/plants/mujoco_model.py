"""Any MuJoCo model of hinges and slides as a plant, in MuJoCo's own C engine: no JAX.

The XML says everything: `<numeric name="control_dt">` the control step [s], about 0.04 if it says none; the
first keyframe, or the model's reference pose, where episodes start; `<numeric name="start_spread">` how far
each state may be from it; `<numeric name="friction_spread">` the share by which each seed's damping and
friction loss are off. States are the joints' positions and velocities; actions are the actuators, scaled to
their control range.
"""

from importlib import resources
from pathlib import Path

# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from C and have no types.
import mujoco
import numpy as np

from real_env.plant import Diverged, PlantSpec, Reading

USUAL_DT = 0.04
"""The control step of a model that says none is the multiple of its time step that is next to this [s]."""
UNITS = {mujoco.mjtJoint.mjJNT_SLIDE: "m", mujoco.mjtJoint.mjJNT_HINGE: "rad"}


def cart_pole(seed: int) -> "MujocoPlant":
    """Return the cart-pole of the default task, with damping and dry friction."""
    xml = resources.files("real_env.plants").joinpath("cart_pole_mujoco.xml").read_text()
    return MujocoPlant("mujoco-cart-pole", mujoco.MjModel.from_xml_string(xml), seed)


def from_file(path: Path, seed: int) -> "MujocoPlant":
    """Return the plant of a user's XML.

    Raises:
        ValueError: naming the file and what MuJoCo or the plant finds wrong with it.
    """
    if not path.is_file():
        raise ValueError(f"plant 'mujoco:{path}': there is no file {path}")
    try:
        return MujocoPlant(f"mujoco:{path.name}", mujoco.MjModel.from_xml_path(str(path)), seed)
    except ValueError as error:
        raise ValueError(f"plant 'mujoco:{path}': {error}") from error


DIVERGED = {
    mujoco.mjtWarning.mjWARN_BADQPOS: "a position",
    mujoco.mjtWarning.mjWARN_BADQVEL: "a velocity",
    mujoco.mjtWarning.mjWARN_BADQACC: "an acceleration",
}
"""What MuJoCo resets a model for, without an error, and how it says so."""


def check_converged(data: mujoco.MjData) -> None:
    """Check that MuJoCo has not reset `data` since its last reset by the plant.

    Raises:
        Diverged: naming the quantity that was not finite or too large.
    """
    found = [words for warning, words in DIVERGED.items() if data.warning[warning].number]
    if found:
        raise Diverged(
            f"the simulation diverged: {' and '.join(found)} was not finite or too large, and MuJoCo started "
            "the model anew; a smaller time step or a gentler action may help"
        )


class MujocoPlant:
    """A model, stepped in its own time step. The seed draws its friction and its start states."""

    def __init__(self, name: str, model: mujoco.MjModel, seed: int) -> None:
        """Build the plant.

        Raises:
            ValueError: a joint is neither hinge nor slide, an actuator has no control range, or `control_dt`
                is no multiple of the time step.
        """
        self._model, self._data = model, mujoco.MjData(model)
        self._random = np.random.default_rng([seed, 1])
        if not model.nu:
            raise ValueError("the model has no actuator; nothing could drive it")
        usual = model.opt.timestep * max(1, round(USUAL_DT / model.opt.timestep))
        control_dt = float(self._numeric("control_dt", 1, [usual])[0])
        self._steps = round(control_dt / model.opt.timestep)
        if self._steps < 1 or abs(self._steps * model.opt.timestep - control_dt) > 1e-9:
            raise ValueError(
                f"control_dt {control_dt:g} s is no multiple of the time step {model.opt.timestep:g} s"
            )
        self._low, self._high = self._ranges()
        self._spread = self._numeric("start_spread", model.nq + model.nv, [0.0] * (model.nq + model.nv))
        joints = self._joints()
        spread = float(self._numeric("friction_spread", 1, [0.0])[0])
        constants = np.random.default_rng(seed)
        for values in (model.dof_damping, model.dof_frictionloss):
            values[:] = values * constants.uniform(1.0 - spread, 1.0 + spread, values.shape)
        self.spec = PlantSpec(
            name=name,
            state_names=tuple(f"{joint} [{unit}]" for joint, unit in joints)
            + tuple(f"{joint} velocity [{unit}/s]" for joint, unit in joints),
            action_names=tuple(model.actuator(i).name or f"actuator {i}" for i in range(model.nu)),
            control_dt=control_dt,
            parameters={
                "damping": np.round(model.dof_damping, 6).tolist(),
                "frictionloss": np.round(model.dof_frictionloss, 6).tolist(),
            },
            real_time=False,
        )

    def reset(self) -> Reading:
        """Put the plant into a newly drawn start state."""
        mujoco.mj_resetData(self._model, self._data)
        if self._model.nkey:
            mujoco.mj_resetDataKeyframe(self._model, self._data, 0)
        offset = self._random.uniform(-self._spread, self._spread)
        self._data.qpos += offset[: self._model.nq]
        self._data.qvel += offset[self._model.nq :]
        return self._reading()

    def exchange(self, command: np.ndarray) -> Reading:
        """Advance the physics by one control step.

        Raises:
            Diverged: MuJoCo found numbers that are too large, and started the model anew.
        """
        share = 0.5 * (np.asarray(command, float) + 1.0)
        self._data.ctrl[:] = self._low + share * (self._high - self._low)
        mujoco.mj_step(self._model, self._data, self._steps)
        check_converged(self._data)
        return self._reading()

    def close(self) -> None:
        """Nothing to release."""

    def _reading(self) -> Reading:
        return Reading(np.concatenate([self._data.qpos, self._data.qvel]).astype(np.float32), False)

    def _numeric(self, name: str, size: int, default: list[float]) -> np.ndarray:
        """Return the XML's numeric `name`."""
        known = [self._model.numeric(i).name for i in range(self._model.nnumeric)]
        values = np.array(self._model.numeric(name).data if name in known else default, float)
        if values.shape != (size,) or not np.all(values >= 0.0):
            raise ValueError(
                f"the numeric {name!r} must be {size} numbers of at least 0; got {values.tolist()}"
            )
        return values

    def _joints(self) -> list[tuple[str, str]]:
        found = []
        for i in range(self._model.njnt):
            joint = self._model.joint(i)
            unit = UNITS.get(mujoco.mjtJoint(int(joint.type[0])))
            if unit is None:
                raise ValueError(f"joint {joint.name or i!r} is neither a hinge nor a slide")
            found.append((joint.name or f"joint {i}", unit))
        return found

    def _ranges(self) -> tuple[np.ndarray, np.ndarray]:
        if not np.all(self._model.actuator_ctrllimited):
            raise ValueError("every actuator needs a ctrlrange, which an action of -1 to 1 is scaled to")
        low, high = self._model.actuator_ctrlrange.T
        return low, high
