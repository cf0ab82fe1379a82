"""Issues: frames and labels that people set aside, talk about, score separately, collect more of or work through."""
