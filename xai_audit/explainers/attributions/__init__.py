"""What gradients and occlusion share with the rest: baselines, paths, maps, removal, evidence."""
