"""Readers and writers of files: tables, images, archives."""
