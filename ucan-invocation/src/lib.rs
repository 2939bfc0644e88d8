//! UCAN invocation, receipts and memoization: input addressing, handlers, receipt stores.
