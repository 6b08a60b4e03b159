"""The one place that talks to git: plain `git`, asynchronously, in a clean environment."""
