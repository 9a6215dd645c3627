"""One conversation without a screen: controller, send queue, drafts, branches, metrics, notices."""
