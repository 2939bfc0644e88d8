//! IPVM workflows: documents, plans and the durable engine.
