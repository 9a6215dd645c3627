"""One conversation, without UI: controller, send queue, drafts, branches, metrics, notices."""
