"""Time that the machine took away from the packet processes, and the witnesses that show it.

A late packet is not the product's fault while its processor stood still: the hypervisor ran another guest, the kernel
let another process go on, or a CPU limit stopped the container. A heartbeat on each processor shows such stalls with
their begin and end. Counters of the kernel name the reason. Each witness is optional: a container may lack it.

Time in which a process of the product held the processor is never the machine's.
"""
