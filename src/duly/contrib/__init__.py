"""duly inside other people's frameworks. Nothing here is imported by duly itself unless the framework is in use."""
