"""A small project of a user's, with basic units whose code uses other modules of the project."""

from tests.codegen.project.layers import Gate as Gate
