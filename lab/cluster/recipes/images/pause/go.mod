module rtp-pool/pause

go 1.26
