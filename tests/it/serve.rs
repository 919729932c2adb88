//! A real proxy that serves a model, started and stopped by the same agent as `vigie run` has.
