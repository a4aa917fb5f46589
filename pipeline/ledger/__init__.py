"""The committed tables, what is current among them, and why something is pending."""
