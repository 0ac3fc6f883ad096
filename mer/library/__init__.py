"""What `import mer` offers: plain arrays, folders and files in, plain arrays, tables and scores out."""
