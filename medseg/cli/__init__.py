"""The medseg command: thin verbs over the rooms; nothing heavy is imported before it must be."""
