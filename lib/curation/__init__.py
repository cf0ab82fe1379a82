"""What a person does to sound and labels: looks at them, searches them, decides about them. It may use all rooms."""
