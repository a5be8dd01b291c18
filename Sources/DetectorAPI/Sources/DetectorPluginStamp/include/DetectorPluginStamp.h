/* Nothing to declare: linking this target is what puts the stamp into a plugin. */
