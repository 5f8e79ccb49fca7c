"""Builds the embedded open head; using the head needs nothing from here.

``open_head`` runs the steps in this order: 1 ``mesh``, 2 ``modes``, 3 ``rig``, 4 ``uv``, 5a ``detection``, 5b
``deca_model.heads.contour``, 5c ``landmarks``.
"""
