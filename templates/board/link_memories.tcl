# Before synthesis: the memory images into the folder that it runs in, where $readmemh looks for them.
set here [file dirname [file normalize [info script]]]
file copy -force [file join [file dirname $here] rtl mem] [pwd]
