"""What runs jobs: processes here, or Ray's actors on a cluster, behind one small interface."""
