"""What is made from manifests: packs, exports, the report."""
