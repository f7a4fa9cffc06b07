"""A pilot that is set up through Microsoft's SDK for Graph (beta), and stays."""

import asyncio
import os

from graph_policies import connected, set_up

asyncio.run(set_up(connected(), os.environ["MEMBER"], 8))
