"""8.2.7 Poor correspondence between local and global structure"""
