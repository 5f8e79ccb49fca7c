"""Expression transfer: one person's face with another's expression (Feng et al. 2021, section 5)."""

from __future__ import annotations

from dataclasses import replace

import torch

from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca
from deca_model.use.inference import Reconstruction


@torch.no_grad()
def transfer_expression(model: Deca, person: Reconstruction, driver: Reconstruction) -> Reconstruction:
    """Give the persons the expression and jaw pose of the driver.

    Shape, head pose, camera, albedo and light stay the person's. The detail decoder gets the person's detail
    code with the driver's expression and jaw pose, so the wrinkles change with the expression. Of a model
    without details, the person's own displacement stays, which a fit has found.

    Args:
        model: the model that made both.
        person: the faces that get the expression.
        driver: one face, or as many as persons.

    Raises:
        ValueError: the numbers of faces do not fit.
    """
    persons, drivers = len(person.photos), len(driver.photos)
    if drivers not in (1, persons):
        raise ValueError(f"{drivers} drivers for {persons} persons: give one driver, or one per person")
    codes = with_expression(person.posed.codes, driver.posed.codes)
    displacement = person.displacement
    if model.detail is not None:
        displacement = model.displacement(model.encode_detail(person.photos), codes)
    return replace(person, posed=model.pose(codes), displacement=displacement)


def with_expression(codes: Codes, driver: Codes) -> Codes:
    """The codes with the driver's expression and jaw pose; the driver may be a batch of one."""
    count = len(codes.shape)
    expression = driver.expression.expand(count, -1)
    pose = torch.cat([codes.pose[:, :3], driver.pose[:, 3:].expand(count, -1)], dim=1)
    return codes._replace(expression=expression, pose=pose)
