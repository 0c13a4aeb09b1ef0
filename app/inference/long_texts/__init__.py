"""Long texts: those that take several windows of the model, averaged or divided into chunks."""
