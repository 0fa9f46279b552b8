"""Read labelled images: classes, layouts, label files, pixels."""
